#!/usr/bin/env python3
"""Expected due times of schedules, from an independent source.

Nothing here is shared with src/core: a field is expanded into a Python set, dates come from datetime, zones
and their changes from Python's zoneinfo and the system's tzdata. There is no search: every day of a range is
looked at, every hour, minute and second of it compared. A wall-clock time becomes an instant with fold=0,
which by PEP 495 means the first pass of a repeated time and the old offset for a skipped one.

Writes cron_expected.inc and cron_transitions.inc beside itself; cron_test.cpp and cron_zone_test.cpp include
them.

    python3 cron_oracle.py
"""
import os
import re
import zoneinfo
from datetime import date, datetime, timedelta, timezone

HERE = os.path.dirname(os.path.abspath(__file__))
UTC = timezone.utc
MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
WEEKDAYS = "sun mon tue wed thu fri sat".split()


def tzdata_version():
    for folder in zoneinfo.TZPATH:
        try:
            with open(os.path.join(folder, "tzdata.zi")) as file:
                return re.match(r"# version (\S+)", file.readline()).group(1)
        except OSError:
            pass
    raise SystemExit("no tzdata.zi found")


# --- the matcher ---------------------------------------------------------------------------------------

def value_of(word, names, low):
    return names.index(word) + low if names and word in names else int(word)


def expand(text, low, high, names=None):
    """The set of values of one field; '$' stands for itself."""
    values = set()
    for part in text.lower().split(","):
        if part == "$":
            values.add("$")
            continue
        span, _, step = part.partition("/")
        if span == "*":
            first, last = low, high
        elif "-" in span:
            a, b = span.split("-")
            first, last = value_of(a, names, low), value_of(b, names, low)
            if names is WEEKDAYS and last == 0 < first:
                last = 7
        else:
            first = value_of(span, names, low)
            last = high if step else first
        values.update(range(first, last + 1, int(step or 1)))
    return values


class Matcher:
    def __init__(self, text):
        fields = text.split()
        seconds = fields.pop(0) if len(fields) == 6 else "0"
        minute, hour, day, month, weekday = fields
        self.seconds = expand(seconds, 0, 59)
        self.minutes = expand(minute, 0, 59)
        self.hours = expand(hour, 0, 23)
        self.days = expand(day, 1, 31)
        self.months = expand(month, 1, 12, MONTHS)
        self.weekdays = {v % 7 for v in expand(weekday, 0, 7, WEEKDAYS)} if weekday[0] != "*" else \
            {v for v in expand(weekday, 0, 6)}
        self.both = day[0] != "*" and weekday[0] != "*"

    def day_matches(self, d):
        if d.month not in self.months:
            return False
        is_last = (d + timedelta(days=1)).month != d.month
        by_day = d.day in self.days or ("$" in self.days and is_last)
        by_weekday = d.isoweekday() % 7 in self.weekdays
        return (by_day or by_weekday) if self.both else (by_day and by_weekday)

    def wall_times(self, d):
        """All wall-clock times of a day that match."""
        if not self.day_matches(d):
            return
        for hour in range(24):
            for minute in range(60):
                for second in range(60) if self.seconds != {0} else (0,):
                    if hour in self.hours and minute in self.minutes and second in self.seconds:
                        yield datetime(d.year, d.month, d.day, hour, minute, second)


def instant(wall, zone):
    return int(wall.replace(tzinfo=zone, fold=0).timestamp())


WORDS = {"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0",
         "@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *"}
UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}


def next_times(text, zone_name, after, count):
    """The first `count` due times after the instant."""
    rate = re.fullmatch(r"(?:every )?(\d+) (second|minute|hour|day)s?", text.lower())
    if rate:
        period = int(rate.group(1)) * UNITS[rate.group(2)]
        first = after
        while first % period or first == after:
            first += 1 if period < 100000 else period - first % period
        return [first + i * period for i in range(count)]
    matcher = Matcher(WORDS.get(text.lower(), text))
    zone = zoneinfo.ZoneInfo(zone_name)
    day = datetime.fromtimestamp(after, zone).date() - timedelta(days=2)
    found = set()
    last_day = None
    # two days more than needed: a skipped wall-clock time may come after one of the next day
    while last_day is None or day <= last_day:
        for wall in matcher.wall_times(day):
            at = instant(wall, zone)
            if at > after:
                found.add(at)
        if last_day is None and len(found) >= count:
            last_day = day + timedelta(days=2)
        day += timedelta(days=1)
    return sorted(found)[:count]


# --- zones ---------------------------------------------------------------------------------------------

def offset_at(zone, at):
    return int(datetime.fromtimestamp(at, zone).utcoffset().total_seconds())


def spans(zone_name, begin, end):
    """[(begin, offset)] of a zone, by looking at every quarter of an hour where a day's ends differ."""
    zone = zoneinfo.ZoneInfo(zone_name)
    result = [(begin, offset_at(zone, begin))]
    at = begin
    while at < end:
        before, after = offset_at(zone, at), offset_at(zone, at + 86400)
        if before != after:
            for quarter in range(at, at + 86400, 900):
                if offset_at(zone, quarter) != offset_at(zone, quarter + 900):
                    result.append((quarter + 900, offset_at(zone, quarter + 900)))
        at += 86400
    return result


def seconds_of(text):
    return int(datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp())


# --- the table of expressions --------------------------------------------------------------------------

CASES = [
    # (schedule, zone, after in UTC, how many)
    ("* * * * *", "UTC", "2026-11-20 22:06:07", 3),
    ("*/5 * * * *", "UTC", "2026-11-20 22:05:00", 4),
    ("7 * * * *", "UTC", "2026-12-31 23:07:00", 3),
    ("0 0 * * *", "UTC", "2027-02-28 00:00:00", 3),
    ("30 4 * * *", "Europe/Berlin", "2026-10-24 00:00:00", 4),
    ("0 3 * * *", "Europe/Berlin", "2027-03-26 12:00:00", 4),
    ("30 2 * * *", "Europe/Berlin", "2027-03-26 12:00:00", 4),
    ("30 2 * * *", "Europe/Berlin", "2026-10-23 12:00:00", 4),
    ("*/30 * * * *", "Europe/Berlin", "2027-03-28 00:00:00", 6),
    ("*/30 * * * *", "Europe/Berlin", "2026-10-24 23:30:00", 8),
    ("15,45 1-3 * * *", "America/New_York", "2026-11-01 04:00:00", 8),
    ("15,45 1-3 * * *", "America/New_York", "2027-03-14 05:00:00", 8),
    ("0 2 * * 0", "America/New_York", "2027-03-01 00:00:00", 4),
    ("0 0 1 * *", "America/New_York", "2026-11-20 00:00:00", 5),
    ("0 12 15 * *", "Asia/Kathmandu", "2026-11-20 00:00:00", 4),
    ("45 5 * * *", "Asia/Kathmandu", "2026-11-20 00:00:00", 3),
    ("0 9 * * mon-fri", "Asia/Kolkata", "2026-11-20 03:30:00", 6),
    ("0 9 * * MON-FRI", "Asia/Tokyo", "2026-11-20 03:30:00", 3),
    ("0 9 * * fri-sun", "UTC", "2026-11-20 22:00:00", 5),
    ("0 9 * * 5-7", "UTC", "2026-11-20 22:00:00", 5),
    ("0 9 * * 0", "UTC", "2026-11-20 22:00:00", 2),
    ("0 9 * * 7", "UTC", "2026-11-20 22:00:00", 2),
    ("0 9 * * 0,7", "UTC", "2026-11-20 22:00:00", 2),
    ("0 9 * * 1-7/2", "UTC", "2026-11-20 22:00:00", 6),
    ("0 9 * * */2", "UTC", "2026-11-20 22:00:00", 6),
    ("0 9 * * sun", "UTC", "2026-11-20 22:00:00", 2),
    ("15 10 * jan,Jul *", "UTC", "2026-12-30 00:00:00", 3),
    ("15 10 1 nov-dec *", "UTC", "2026-11-20 00:00:00", 4),
    ("0 0 $ * *", "UTC", "2027-01-15 00:00:00", 5),
    ("0 0 $ 2 *", "UTC", "2026-11-20 00:00:00", 4),
    ("0 0 15,$ * *", "UTC", "2027-01-15 00:00:00", 6),
    ("30 23 $ * *", "America/St_Johns", "2027-01-15 00:00:00", 4),
    ("0 0 $ * mon", "UTC", "2027-01-25 00:00:00", 6),
    ("0 0 13 * 5", "UTC", "2026-11-20 00:00:00", 6),
    ("0 0 13 * fri", "Europe/London", "2026-11-20 00:00:00", 6),
    ("0 0 */13 * 5", "UTC", "2026-11-20 00:00:00", 4),
    ("0 0 13 * */5", "UTC", "2026-11-20 00:00:00", 4),
    ("0 0 29 2 *", "UTC", "2026-11-20 00:00:00", 4),
    ("0 0 29 2 *", "UTC", "2096-02-29 00:00:00", 3),
    ("0 0 29 2 *", "Europe/Berlin", "2196-01-01 00:00:00", 3),
    ("0 0 29 2 */7", "UTC", "2026-11-20 00:00:00", 5),
    ("0 0 31 * *", "UTC", "2026-11-20 00:00:00", 7),
    ("0 0 30 1,2 *", "UTC", "2026-11-20 00:00:00", 3),
    ("59 23 31 12 *", "Pacific/Kiritimati", "2026-11-20 00:00:00", 3),
    ("0 0 1 1 *", "Etc/GMT+12", "2026-11-20 00:00:00", 3),
    ("0/15 * * * *", "UTC", "2026-11-20 22:06:07", 5),
    ("5/20 8-10 * * *", "UTC", "2026-11-20 22:06:07", 10),
    ("10-20/5 */6 * * *", "UTC", "2026-11-20 22:06:07", 7),
    ("*/90 * * * *", "UTC", "2026-11-20 22:06:07", 3),
    ("*/7 22/1 * * *", "UTC", "2026-11-20 22:06:07", 20),
    ("0,1,2-4,58 23 * * *", "UTC", "2026-11-20 22:06:07", 8),
    ("  5\t4  * *  *  ", "UTC", "2026-11-20 22:06:07", 2),
    ("*/10 * * * * *", "UTC", "2026-11-20 22:06:07", 7),
    ("59 59 23 $ 12 *", "UTC", "2026-11-20 22:06:07", 3),
    ("0 30 2 * * *", "Europe/Berlin", "2026-10-23 12:00:00", 4),
    ("30 59 1 * * *", "Europe/London", "2027-03-27 12:00:00", 3),
    ("15/20 0 12 * * wed", "UTC", "2026-11-20 22:06:07", 5),
    ("0-2 * * * * *", "UTC", "2038-01-19 03:14:00", 8),
    ("14 3 19 1 *", "UTC", "2037-06-01 00:00:00", 3),
    ("30 2 * 3 sun", "Europe/Berlin", "2190-03-20 00:00:00", 4),
    ("30 2 * * *", "America/New_York", "2205-03-05 00:00:00", 9),
    ("0 2 * * *", "Australia/Lord_Howe", "2026-10-02 00:00:00", 4),
    ("15 2 * * *", "Australia/Lord_Howe", "2026-10-02 00:00:00", 4),
    ("45 1 * * *", "Australia/Lord_Howe", "2027-04-02 00:00:00", 4),
    ("*/15 * * * *", "Australia/Lord_Howe", "2027-04-03 14:00:00", 10),
    ("*/15 * * * *", "Australia/Lord_Howe", "2026-10-03 14:45:00", 8),
    ("0 12 * * *", "Pacific/Apia", "2011-12-27 00:00:00", 6),
    ("0 12 30 12 *", "Pacific/Apia", "2011-12-27 00:00:00", 2),
    ("0 */8 * * *", "Pacific/Apia", "2011-12-28 12:00:00", 10),
    ("0 0 * * *", "America/Havana", "2027-03-11 00:00:00", 5),
    ("30 0 * * *", "America/Havana", "2026-10-30 00:00:00", 4),
    ("0 0 * * *", "Asia/Beirut", "2027-03-26 00:00:00", 4),
    ("30 23 * * *", "Asia/Beirut", "2026-10-29 00:00:00", 4),
    ("30 1 * * *", "Antarctica/Troll", "2027-03-26 00:00:00", 4),
    ("0 2 * * *", "Antarctica/Troll", "2026-10-23 00:00:00", 4),
    ("0 2 * * *", "Africa/Casablanca", "2026-02-10 00:00:00", 14),
    ("30 1 * * *", "Europe/Dublin", "2026-10-23 00:00:00", 4),
    ("50 2 * * *", "Pacific/Chatham", "2026-09-24 00:00:00", 4),
    ("0 12 * * *", "America/Caracas", "2016-04-28 00:00:00", 5),
    ("45 23 * * *", "Asia/Pyongyang", "2018-05-02 00:00:00", 5),
    ("@hourly", "Asia/Kathmandu", "2026-11-20 22:06:07", 3),
    ("@daily", "America/Sao_Paulo", "2018-11-02 00:00:00", 4),
    ("@midnight", "UTC", "2026-11-20 22:06:07", 2),
    ("@WEEKLY", "UTC", "2026-11-20 22:06:07", 2),
    ("@monthly", "Pacific/Auckland", "2026-11-20 22:06:07", 3),
    ("@yearly", "UTC", "2026-11-20 22:06:07", 2),
    ("@annually", "UTC", "2026-11-20 22:06:07", 2),
    ("30 seconds", "Europe/Berlin", "2026-11-20 22:06:07", 3),
    ("every 10 Seconds", "UTC", "2026-11-20 22:06:00", 3),
    ("1 second", "UTC", "2026-11-20 22:06:00", 3),
    ("every 7 minutes", "UTC", "2026-11-20 22:06:00", 3),
    ("90 minutes", "Europe/Berlin", "2026-10-24 22:06:00", 4),
    ("5 hours", "UTC", "2026-11-20 22:06:00", 3),
    ("every 1 day", "America/New_York", "2026-10-31 22:06:00", 3),
    ("366 days", "UTC", "2026-11-20 22:06:00", 2),
]

TRANSITION_ZONES = [
    "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Chatham", "America/St_Johns",
    "Africa/Casablanca", "America/Santiago", "Asia/Beirut", "America/Havana", "Antarctica/Troll",
]


def identifier(zone_name):
    return "k" + re.sub(r"[^A-Za-z]", "", zone_name.replace("+", "Plus"))


def write_zone(file, zone_name, begin, end):
    table = spans(zone_name, begin, end)
    file.write(f"const Step {identifier(zone_name)}[] = {{\n")
    for i in range(0, len(table), 4):
        file.write("\t" + " ".join(f"{{{at}, {offset}}}," for at, offset in table[i:i + 4]) + "\n")
    file.write("};\n\n")


def head(file, what):
    file.write(f"/*\n * {what}\n *\n * Made by cron_oracle.py with Python's zoneinfo and tzdata {tzdata_version()}; do not edit.\n */\n\n")


def write_expected():
    ranges = {}
    rows = []
    for text, zone_name, after_text, count in CASES:
        after = seconds_of(after_text)
        times = next_times(text, zone_name, after, count)
        low, high = ranges.get(zone_name, (after, after))
        ranges[zone_name] = (min(low, after - 10 * 86400), max(high, times[-1] + 10 * 86400))
        rows.append((text, zone_name, after, times))
    with open(os.path.join(HERE, "cron_expected.inc"), "w") as file:
        head(file, "Schedules, zones and the due times that are to come out; zones as far as they are needed.")
        for zone_name, (low, high) in ranges.items():
            write_zone(file, zone_name, low - low % 86400, high)
        file.write("const NamedZone kNamedZones[] = {\n")
        for zone_name in ranges:
            file.write(f"\t{{\"{zone_name}\", {identifier(zone_name)}, std::size({identifier(zone_name)})}},\n")
        file.write("};\n\nconst Case kCases[] = {\n")
        for text, zone_name, after, times in rows:
            escaped = text.replace("\t", "\\t")
            file.write(f"\t{{\"{escaped}\", \"{zone_name}\", {after},\n\t {{{', '.join(map(str, times))}}}}},\n")
        file.write("};\n")


def write_transitions():
    """Each change of the ten zones: half-hourly due times around it, and a daily one in its middle."""
    begin, end = seconds_of("2020-01-01 00:00:00"), seconds_of("2041-01-01 00:00:00")
    count = 0
    with open(os.path.join(HERE, "cron_transitions.inc"), "w") as file:
        head(file, "Every change of offset of ten zones from 2020 to 2040.\n *\n"
             " * {instant, offset before, offset after, a daily schedule whose time lies in the gap or in the\n"
             " * repeated time, its due times within two days as minutes from the instant, and those of 15,45 * * * *\n"
             " * within four hours}")
        for zone_name in TRANSITION_ZONES:
            zone = zoneinfo.ZoneInfo(zone_name)
            table = spans(zone_name, begin - 40 * 86400, end + 40 * 86400)
            file.write(f"const Transition {identifier(zone_name)}Changes[] = {{\n")
            for (_, before), (at, after) in zip(table, table[1:]):
                if not begin <= at < end:
                    continue
                middle = datetime.fromtimestamp(at + (before + after) // 2, UTC)
                daily = f"{middle.minute} {middle.hour} * * *"
                daily_times = [(t - at) // 60 for t in next_times(daily, zone_name, at - 2 * 86400, 5)
                               if t - at <= 2 * 86400]
                dense = [(t - at) // 60 for t in next_times("15,45 * * * *", zone_name, at - 4 * 3600, 17)
                         if t - at <= 4 * 3600]
                file.write(f"\t{{{at}, {before}, {after}, \"{daily}\", {{{', '.join(map(str, daily_times))}}},\n"
                           f"\t {{{', '.join(map(str, dense))}}}}},\n")
                count += 1
            file.write("};\n\n")
        file.write("const TransitionZone kTransitionZones[] = {\n")
        for zone_name in TRANSITION_ZONES:
            name = identifier(zone_name) + "Changes"
            file.write(f"\t{{\"{zone_name}\", {name}, std::size({name})}},\n")
        file.write("};\n")
    print(f"{len(CASES)} schedules, {count} changes")


if __name__ == "__main__":
    write_expected()
    write_transitions()
