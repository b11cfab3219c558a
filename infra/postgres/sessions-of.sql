-- How many sessions a login has: one that is to go has none. Variable: login.
SELECT count(*) FROM pg_stat_activity WHERE usename = :'login';
