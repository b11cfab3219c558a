-- One role's password; a role that is not there yet can log in and no more, until `wmctl` gives it its group. Variables:
-- login, password. A second time changes nothing.
SELECT format('CREATE ROLE %I', :'login')
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'login')
\gexec
ALTER ROLE :"login" LOGIN PASSWORD :'password';
