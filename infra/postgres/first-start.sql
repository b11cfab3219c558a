-- Windmill's roles and database in a new cluster; its logins come by windmill-login.sql, the platform's own roles and
-- databases by `wmctl db`.

-- What Windmill's row-level security switches between. Windmill would need a superuser to make them.
CREATE ROLE windmill_user NOLOGIN;
CREATE ROLE windmill_admin NOLOGIN BYPASSRLS IN ROLE windmill_user;

-- The owner of everything has no password. Logins are members that act as the owner, so a rotation is a second login
-- beside the first, and no object changes hands.
CREATE ROLE windmill NOLOGIN IN ROLE windmill_user, windmill_admin;

CREATE DATABASE windmill OWNER windmill;
REVOKE CONNECT, TEMPORARY ON DATABASE windmill FROM PUBLIC;
REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC;

\connect windmill
ALTER SCHEMA public OWNER TO windmill;
SET ROLE windmill;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO windmill_user;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON SEQUENCES TO windmill_user;

RESET ROLE;
-- Copies the cluster over a replication connection and reads no table; it can log in once it is told a password.
CREATE ROLE backup NOLOGIN REPLICATION CONNECTION LIMIT 4;
