#!/bin/sh
# Runs once, when the PostgreSQL container makes its database: the roles of docs/postgresql.md, with the passwords of deploy/.env.
set -eu
psql --set=ON_ERROR_STOP=1 --username=postgres --dbname=mail_ingest \
  --set=owner="$DATABASE_OWNER_PASSWORD" --set=app="$DATABASE_APP_PASSWORD" <<'SQL'
create role mail_ingest_owner login password :'owner';
create role mail_ingest_app login password :'app';
create role mail_ingest_reader nologin;
revoke all on database mail_ingest from public;
grant connect, temporary on database mail_ingest to mail_ingest_owner;
grant connect on database mail_ingest to mail_ingest_app, mail_ingest_reader;
revoke create on schema public from public;
grant usage, create on schema public to mail_ingest_owner;
grant usage on schema public to mail_ingest_app, mail_ingest_reader;
alter default privileges for role mail_ingest_owner in schema public
  grant select, insert, update, delete on tables to mail_ingest_app;
alter default privileges for role mail_ingest_owner in schema public
  grant usage on sequences to mail_ingest_app;
alter default privileges for role mail_ingest_owner in schema public
  grant execute on functions to mail_ingest_app;
alter default privileges for role mail_ingest_owner in schema public
  grant select on tables to mail_ingest_reader;
SQL
