-- One login of Windmill, made or given another password. Variables: login, password. A second time changes nothing.
SELECT format('CREATE ROLE %I LOGIN', :'login')
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'login')
\gexec
ALTER ROLE :"login" PASSWORD :'password' CONNECTION LIMIT 120;
ALTER ROLE :"login" SET role = windmill;
GRANT windmill TO :"login";
