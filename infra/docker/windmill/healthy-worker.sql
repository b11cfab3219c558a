-- Whether this container's worker lives and isolates its jobs: its ping says both. One row when it does.
SELECT worker FROM worker_ping
WHERE worker_instance = %s
  AND ping_at > now() - interval '60 seconds'
  AND job_isolation IN ('unshare', 'nsjail')
LIMIT 1
