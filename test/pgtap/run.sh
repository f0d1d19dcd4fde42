#!/bin/sh
# Runs the pgTAP tests, test/pgtap/*.sql, on the server that PGHOST, PGPORT and PGUSER name and that preloads
# worker_pool. Each run makes the database worker_pool_pgtap anew, with pgtap and worker_pool in it; the files
# share it, one after the other in the order of their names. Arguments go to pg_prove.

set -eu

here=$(cd "$(dirname "$0")" && pwd)
database=worker_pool_pgtap

psql -X -q -v ON_ERROR_STOP=1 -d postgres <<SQL
set client_min_messages = warning;
drop database if exists $database;
create database $database;
\\connect $database
create extension pgtap;
create extension worker_pool;
SQL

exec pg_prove --dbname "$database" --timer "$@" "$here"/*.sql
