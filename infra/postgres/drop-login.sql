-- One login of Windmill after a rotation: its sessions end, then it is gone. Variable: login. It owns nothing.
SELECT format('ALTER ROLE %I NOLOGIN', :'login')
WHERE EXISTS (SELECT FROM pg_roles WHERE rolname = :'login')
\gexec
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = :'login';
DROP ROLE IF EXISTS :"login";
