-- Which hosts have a worker that lives and isolates its jobs: its ping says both. Variable: hosts, separated by spaces.
SELECT DISTINCT worker_instance
FROM worker_ping
WHERE worker_instance = ANY (string_to_array(:'hosts', ' '))
  AND ping_at > now() - interval '60 seconds'
  AND job_isolation IN ('unshare', 'nsjail');
