-- Which hosts have a worker that lives and isolates its jobs: its ping says both. Variable: hosts, separated by spaces.
-- Waits a second for all of them: that costs the host less than to be asked again and again while workers start.
SELECT set_config('platform.hosts', :'hosts', false) AS hosts \gset
CREATE TEMPORARY VIEW pinged AS
    SELECT DISTINCT worker_instance
    FROM worker_ping
    WHERE worker_instance = ANY (string_to_array(current_setting('platform.hosts'), ' '))
      AND ping_at > clock_timestamp() - interval '60 seconds'
      AND job_isolation IN ('unshare', 'nsjail');
DO $$
BEGIN
    FOR look IN 1..10 LOOP
        EXIT WHEN (SELECT count(*) FROM pinged) = cardinality(string_to_array(current_setting('platform.hosts'), ' '));
        PERFORM pg_sleep(0.1);
    END LOOP;
END
$$;
SELECT worker_instance FROM pinged;
