/*
 * cron.cpp
 *	  The parser of schedules. Runs in any process that defines or fires one.
 *
 * One pass from left to right with a cursor; the first thing that is wrong ends it, with its field and its
 * place, so that everything before that place was right. Words are compared as ASCII whatever the encoding
 * is: a byte that is not ASCII is never right.
 */
#include "core/cron.hpp"

#include <cstdio>
#include <cstring>

namespace worker_pool
{

namespace
{

/* A field: its bounds and names. `names` are in order from `low`; three letters each, joined. */
struct Field
{
	const char *name;
	int low;
	int high;
	const char *names; /* nullptr: none */
	const char *kind;  /* what a name in it would be called */
};

constexpr char kMonthNames[] = "janfebmaraprmayjunjulaugsepoctnovdec";
constexpr char kWeekdayNames[] = "sunmontuewedthufrisat";

constexpr Field kSecond = {"second", 0, 59, nullptr, nullptr};
constexpr Field kMinute = {"minute", 0, 59, nullptr, nullptr};
constexpr Field kHour = {"hour", 0, 23, nullptr, nullptr};
constexpr Field kDay = {"day of month", 1, 31, nullptr, nullptr};
constexpr Field kMonth = {"month", 1, 12, kMonthNames, "month"};
constexpr Field kWeekday = {"day of week", 0, 7, kWeekdayNames, "weekday"};

constexpr int kMostStep = 999;

constexpr char kFormsHint[] = "A schedule is five fields of cron (minute hour day-of-month month "
							  "day-of-week), six with seconds "
							  "first, a word such as @daily, or a rate such as 30 seconds.";
constexpr char kFieldHint[] =
	"A field is *, a value, a range such as 1-5, or a list of these, each with a step such as /2.";
constexpr char kWordsHint[] =
	"The words are @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually and @reboot.";
constexpr char kRateHint[] =
	"A rate is a number of seconds, minutes, hours or days, as in: 30 seconds, every 2 hours.";
constexpr char kRangeHint[] = "Write a range over the end as two: 22-23,0-5 or fri-sat,mon.";

bool
IsBlank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

bool
IsDigit(char c)
{
	return c >= '0' && c <= '9';
}

char
Lower(char c)
{
	return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool
IsLetter(char c)
{
	return Lower(c) >= 'a' && Lower(c) <= 'z';
}

bool
SameWord(std::string_view word, std::string_view lower)
{
	if (word.size() != lower.size())
		return false;
	for (std::size_t i = 0; i < word.size(); i++)
		if (Lower(word[i]) != lower[i])
			return false;
	return true;
}

/* The cursor, and where an error is written to. */
struct Parser
{
	std::string_view text; /* without the blanks at its end */
	std::size_t at;
	const char *field;
	ScheduleError *error;

	bool AtEnd() const
	{
		return at >= text.size();
	}

	char Look() const
	{
		return AtEnd() ? '\0' : text[at];
	}

	/* The next character is c: passes it. */
	bool Take(char c)
	{
		if (AtEnd() || text[at] != c)
			return false;
		at++;
		return true;
	}

	void SkipBlanks()
	{
		while (!AtEnd() && IsBlank(text[at]))
			at++;
	}

	/* The word (all up to the next blank) that begins here. */
	std::string_view Word() const
	{
		std::size_t end = at;

		while (end < text.size() && !IsBlank(text[end]))
			end++;
		return text.substr(at, end - at);
	}

	bool Fail(std::size_t place, const char *hint, const char *reason)
	{
		error->field = field;
		error->position = static_cast<int>(place) + 1;
		error->hint = hint;
		std::snprintf(error->reason, sizeof(error->reason), "%s", reason);
		return false;
	}
};

/* Reads digits; false (nothing said) where there are none. Stays at kTooMuch when there are too many. */
constexpr int kTooMuch = 1000000000;

bool
TakeNumber(Parser *parser, int *number)
{
	if (!IsDigit(parser->Look()))
		return false;
	*number = 0;
	for (; IsDigit(parser->Look()); parser->at++)
		if (*number < kTooMuch)
			*number = *number >= kTooMuch / 10 ? kTooMuch : *number * 10 + (parser->Look() - '0');
	return true;
}

bool
FailNumber(Parser *parser, std::size_t place, const char *hint, int number, int low, int high)
{
	char reason[sizeof(ScheduleError::reason)];

	if (number >= kTooMuch)
		std::snprintf(reason, sizeof(reason), "the number is not between %d and %d", low, high);
	else
		std::snprintf(reason, sizeof(reason), "%d is not between %d and %d", number, low, high);
	return parser->Fail(place, hint, reason);
}

/* Reads a name of the field at the cursor, which is a letter. */
bool
TakeName(Parser *parser, const Field &field, int *value)
{
	char name[16] = {};
	std::size_t length = 0;
	char reason[sizeof(ScheduleError::reason)];

	while (parser->at + length < parser->text.size() && IsLetter(parser->text[parser->at + length]))
	{
		if (length + 1 < sizeof(name))
			name[length] = parser->text[parser->at + length];
		length++;
	}
	if (field.names == nullptr)
	{
		std::snprintf(reason, sizeof(reason), "\"%s\" is not a number", name);
		return parser->Fail(parser->at, kFieldHint, reason);
	}
	for (int i = 0; field.names[i] != '\0' && length == 3; i += 3)
		if (SameWord(parser->text.substr(parser->at, 3), std::string_view(field.names + i, 3)))
		{
			*value = field.low + i / 3;
			parser->at += 3;
			return true;
		}
	std::snprintf(reason, sizeof(reason), "\"%s\" is not a name of a %s", name, field.kind);
	return parser->Fail(parser->at, "Names have three letters: jan to dec, sun to sat.", reason);
}

/* Reads one value: a number in the field's bounds, or a name. */
bool
TakeValue(Parser *parser, const Field &field, int *value)
{
	const std::size_t place = parser->at;

	if (TakeNumber(parser, value))
	{
		if (*value < field.low || *value > field.high)
			return FailNumber(parser, place, nullptr, *value, field.low, field.high);
		return true;
	}
	if (IsLetter(parser->Look()))
		return TakeName(parser, field, value);
	if (parser->AtEnd() || IsBlank(parser->Look()) || parser->Look() == ',')
		return parser->Fail(place, kFieldHint, "a value is missing");
	return parser->Fail(place, kFieldHint, "unexpected character");
}

/* Reads the step behind a range, if there is one. */
bool
TakeStep(Parser *parser, int *step)
{
	*step = 1;
	if (!parser->Take('/'))
		return true;

	const std::size_t place = parser->at;

	if (!TakeNumber(parser, step))
		return parser->Fail(place, kFieldHint, "a step must be a number");
	if (*step < 1 || *step > kMostStep)
		return FailNumber(parser, place, "A step is at least 1.", *step, 1, kMostStep);
	return true;
}

/* Reads one element of a list into the set. */
bool
TakeElement(Parser *parser, const Field &field, std::uint64_t *set)
{
	const std::size_t place = parser->at;
	int low = field.low;
	int high = field.high;
	int step = 1;

	if (!parser->Take('*'))
	{
		if (!TakeValue(parser, field, &low))
			return false;
		if (parser->Take('-'))
		{
			if (!TakeValue(parser, field, &high))
				return false;
			/* fri-sun, 5-0 */
			if (&field == &kWeekday && high == 0 && low > 0)
				high = 7;
		}
		else if (parser->Look() != '/')
			high = low;
	}
	/* a step over the weekdays must not meet Sunday twice: 0 and 7 */
	else if (&field == &kWeekday)
		high = 6;
	if (high < low)
		return parser->Fail(place, kRangeHint, "the range ends before it begins");
	if (!TakeStep(parser, &step))
		return false;
	for (int value = low; value <= high; value += step)
		*set |= UINT64_C(1) << value;
	return true;
}

/* Reads a whole field, up to the blank behind it. `last_day` (day of month only): whether it has a $. */
bool
TakeField(Parser *parser, const Field &field, std::uint64_t *set, bool *last_day)
{
	parser->field = field.name;
	*set = 0;
	do
	{
		const std::size_t place = parser->at;

		if (last_day != nullptr && parser->Take('$'))
		{
			*last_day = true;
			if (parser->Look() == '-' || parser->Look() == '/')
				return parser->Fail(place, nullptr, "$ can have neither a range nor a step");
		}
		else if (!TakeElement(parser, field, set))
			return false;
	} while (parser->Take(','));
	if (!parser->AtEnd() && !IsBlank(parser->Look()))
		return parser->Fail(parser->at, kFieldHint, "unexpected character");
	parser->SkipBlanks();
	return true;
}

/* A date must come at some time: day 31 only where a month in the set has it. `place`: of the day field. */
bool
CheckDatesCome(Parser *parser, const ScheduleSpec &spec, std::size_t place)
{
	static constexpr int kMostDays[13] = {0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	if (spec.last_day || (!spec.any_day && !spec.any_weekday))
		return true;
	for (int month = 1; month <= 12; month++)
		if ((spec.months & (1U << month)) != 0 &&
			(spec.days & ((UINT64_C(1) << (kMostDays[month] + 1)) - 1)) != 0)
			return true;
	parser->field = kDay.name;
	return parser->Fail(place,
						"None of the months has such a day; $ is the last day of each month.",
						"the date never comes");
}

bool
ParseFields(Parser *parser, int count, ScheduleSpec *spec)
{
	std::uint64_t hours = 0;
	std::uint64_t days = 0;
	std::uint64_t months = 0;
	std::uint64_t weekdays = 0;

	spec->kind = ScheduleKind::kFields;
	spec->seconds = 1;
	if (count == 6 && !TakeField(parser, kSecond, &spec->seconds, nullptr))
		return false;
	if (!TakeField(parser, kMinute, &spec->minutes, nullptr) ||
		!TakeField(parser, kHour, &hours, nullptr))
		return false;

	const std::size_t day_place = parser->at;

	spec->any_day = parser->Look() == '*';
	if (!TakeField(parser, kDay, &days, &spec->last_day) ||
		!TakeField(parser, kMonth, &months, nullptr))
		return false;
	spec->any_weekday = parser->Look() == '*';
	if (!TakeField(parser, kWeekday, &weekdays, nullptr))
		return false;
	spec->hours = static_cast<std::uint32_t>(hours);
	spec->days = static_cast<std::uint32_t>(days);
	spec->months = static_cast<std::uint32_t>(months);
	spec->weekdays = static_cast<std::uint32_t>((weekdays | weekdays >> 7) & 0x7F);
	return CheckDatesCome(parser, *spec, day_place);
}

bool
ParseWord(Parser *parser, ScheduleSpec *spec)
{
	static constexpr struct
	{
		const char *word;
		const char *fields;
	} kWords[] = {
		{"@hourly", "0 * * * *"},	{"@daily", "0 0 * * *"},   {"@midnight", "0 0 * * *"},
		{"@weekly", "0 0 * * 0"},	{"@monthly", "0 0 1 * *"}, {"@yearly", "0 0 1 1 *"},
		{"@annually", "0 0 1 1 *"},
	};
	const std::string_view word = parser->Word();

	if (word.size() != parser->text.size() - parser->at)
		return parser->Fail(parser->at + word.size(), kWordsHint, "nothing may follow the word");
	if (SameWord(word, "@reboot"))
	{
		spec->kind = ScheduleKind::kReboot;
		return true;
	}
	for (const auto &entry : kWords)
		if (SameWord(word, entry.word))
		{
			Parser fields = {entry.fields, 0, nullptr, parser->error};

			return ParseFields(&fields, 5, spec);
		}
	return parser->Fail(parser->at, kWordsHint, "unknown word");
}

/* Seconds of the unit; 0: it is none. */
std::int64_t
UnitSeconds(std::string_view word)
{
	static constexpr struct
	{
		const char *one;
		const char *many;
		std::int64_t seconds;
	} kUnits[] = {
		{"second", "seconds", 1},
		{"minute", "minutes", 60},
		{"hour", "hours", 3600},
		{"day", "days", 86400},
	};

	for (const auto &unit : kUnits)
		if (SameWord(word, unit.one) || SameWord(word, unit.many))
			return unit.seconds;
	return 0;
}

bool
ParseRate(Parser *parser, ScheduleSpec *spec)
{
	int number = 0;

	parser->field = "rate";
	if (SameWord(parser->Word(), "every"))
	{
		parser->at += 5;
		parser->SkipBlanks();
	}

	const std::size_t place = parser->at;

	if (!TakeNumber(parser, &number))
		return parser->Fail(place, kRateHint, "a number is expected");
	if (parser->AtEnd())
		return parser->Fail(parser->at, kRateHint, "a unit is missing");
	if (!IsBlank(parser->Look()))
		return parser->Fail(parser->at, kRateHint, "unexpected character");
	parser->SkipBlanks();

	const std::string_view unit = parser->Word();
	const std::int64_t seconds = UnitSeconds(unit);

	if (seconds == 0)
		return parser->Fail(parser->at, kRateHint, "unknown unit");
	if (unit.size() != parser->text.size() - parser->at)
		return parser->Fail(parser->at + unit.size(), kRateHint, "nothing may follow the unit");
	if (number < 1 || number > kLongestPeriod / seconds)
		return parser->Fail(place, kRateHint, "the period is not between 1 second and 366 days");
	spec->kind = ScheduleKind::kRate;
	spec->period_s = number * seconds;
	return true;
}

/* How many words the text has from the cursor on, at most 8 counted. *second: the second one. */
int
CountWords(Parser parser, std::string_view *second, std::size_t *seventh)
{
	int count = 0;

	while (!parser.AtEnd() && count < 8)
	{
		if (count == 1)
			*second = parser.Word();
		if (count == 6)
			*seventh = parser.at;
		parser.at += parser.Word().size();
		parser.SkipBlanks();
		count++;
	}
	return count;
}

} // namespace

bool
ParseSchedule(std::string_view text, ScheduleSpec *spec, ScheduleError *error) noexcept
{
	Parser parser = {text, 0, nullptr, error};
	std::string_view second;
	std::size_t seventh = 0;

	*spec = {};
	*error = {};
	if (text.size() > kMostScheduleBytes)
		return parser.Fail(kMostScheduleBytes, kFormsHint, "the text is too long");
	while (!parser.text.empty() && IsBlank(parser.text.back()))
		parser.text.remove_suffix(1);
	parser.SkipBlanks();
	if (parser.AtEnd())
		return parser.Fail(parser.at, kFormsHint, "the text is empty");
	if (parser.Look() == '@')
		return ParseWord(&parser, spec);

	const int count = CountWords(parser, &second, &seventh);

	if (SameWord(parser.Word(), "every") || (count == 2 && IsLetter(second[0])))
		return ParseRate(&parser, spec);
	if (count > 6)
		return parser.Fail(seventh, kFormsHint, "there are more than six fields");
	if (count < 5)
		return parser.Fail(parser.text.size(), kFormsHint, "there are fewer than five fields");
	return ParseFields(&parser, count, spec);
}

} // namespace worker_pool
