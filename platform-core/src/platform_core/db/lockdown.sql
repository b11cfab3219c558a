-- What PostgreSQL shows to any login about everybody else, taken away from PUBLIC in this database.
-- Runs as the superuser, as the last step of every database customers connect to; repeating it changes nothing.
-- These privileges live in the database's own catalogs: a clone of the template has them, a restored dump too.
-- CONNECT and TEMP live beside the database and are taken away where it is created.
-- Known to work on PostgreSQL 15 to 18.

REVOKE ALL ON SCHEMA public FROM PUBLIC;

-- No DO blocks and no functions of one's own.
REVOKE USAGE ON LANGUAGE sql, plpgsql FROM PUBLIC;
GRANT USAGE ON LANGUAGE sql, plpgsql TO platform_owner;

-- What anybody could read goes to the owner, who never logs in and whose functions are ours.
DO $$
DECLARE
    relation record;
    function record;
    closed CONSTANT text := '^(' || array_to_string(ARRAY[
        -- who else is here and what they do
        'pg_stat_.*', 'pg_stat', 'pg_backend_pid_.*', 'pg_blocking_pids', 'pg_safe_snapshot_.*', 'pg_isolation_.*',
        'pg_cancel_backend', 'pg_terminate_backend', 'pg_log_backend_.*', 'pg_lock.*', 'pg_prepared_.*',
        'pg_cursor', 'pg_show_all.*', 'pg_settings_get_flags', 'pg_signal_.*',
        -- how much of anything there is
        '.*size.*', 'pg_sequence_.*', 'pg_sequence_last_value', 'pg_relation_.*', 'pg_filenode_.*',
        'pg_tablespace_.*', 'pg_partition_.*', 'pg_notification_queue_usage', 'pg_control_.*', 'pg_nextoid',
        'pg_postmaster_start_time', 'pg_conf_load_time', 'pg_index.*_has_property', 'currtid.*',
        -- how fast the cluster writes
        'txid_.*', 'pg_current_.*', 'pg_snapshot_.*', 'pg_visible_in_snapshot', 'pg_xact_.*', 'pg_wal.*',
        'pg_last_.*', 'pg_logical_.*', 'pg_export_snapshot', 'pg_replication_.*', 'pg_get_.*', 'mxid_age',
        'pg_is_in_recovery', 'pg_is_wal_.*', 'pg_create_.*', 'pg_drop_.*', 'pg_switch_wal', 'pg_backup_.*',
        'pg_sync_.*', 'pg_copy_.*', 'pg_promote', 'pg_reload_conf', 'pg_rotate_.*', 'pg_ls_.*', 'pg_read_.*',
        -- what one login can do to all others
        'pg_advisory_.*', 'pg_try_advisory_.*', 'pg_sleep.*', 'pg_notify', 'pg_listening_channels',
        'lo_.*', 'loread', 'lowrite', 'be_lo_.*', 'pg_restore_.*', 'pg_clear_.*', 'pg_extension_.*',
        'pg_available_.*', 'binary_upgrade_.*', 'pg_stop_making_.*', 'brin_summarize_.*', 'brin_desummarize_.*', 'gin_clean_pending_list',
        -- who may do what, and how it is made
        'has_.*_privilege', 'pg_has_role', 'pg_describe_.*', 'pg_identify_.*', 'to_reg.*', 'makeaclitem',
        'aclexplode', 'acldefault', 'pg_options_to_table', 'pg_event_trigger_.*', 'pg_trigger_depth',
        'row_security_active', 'pg_import_.*', 'pg_.*_is_visible_in_.*',
        -- whole tables, schemas and databases as one value
        '.*_to_xml.*', 'ts_stat', 'ts_rewrite', 'pg_hba_file_rules', 'pg_ident_file_mappings',
        'pg_show_.*_file_settings', 'pg_timezone_.*', 'pg_config', 'pg_mcv_list_items', 'pg_stats_ext_.*'
    ], '|') || ')$';
BEGIN
    FOR relation IN
        SELECT class.oid::regclass AS name
        FROM pg_catalog.pg_class AS class
        CROSS JOIN LATERAL pg_catalog.aclexplode(class.relacl) AS acl
        WHERE class.relnamespace IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
            AND class.relkind IN ('r', 'v', 'm', 'p', 'f')
            AND acl.grantee = 0
            AND acl.privilege_type = 'SELECT'
    LOOP
        EXECUTE format('GRANT SELECT ON %s TO platform_owner', relation.name);
    END LOOP;
    EXECUTE 'REVOKE ALL ON ALL TABLES IN SCHEMA pg_catalog, information_schema FROM PUBLIC';
    REVOKE ALL ON SCHEMA information_schema FROM PUBLIC;
    GRANT USAGE ON SCHEMA information_schema TO platform_owner;

    FOR function IN
        SELECT proc.oid::regprocedure AS name
        FROM pg_catalog.pg_proc AS proc
        WHERE proc.pronamespace IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
            AND (proc.proname ~ closed OR proc.oid = 'pg_catalog.age(xid)'::regprocedure)
            AND proc.prokind IN ('f', 'w', 'a')
            AND EXISTS (
                SELECT
                FROM pg_catalog.aclexplode(
                    coalesce(proc.proacl, pg_catalog.acldefault('f', proc.proowner))
                ) AS acl
                WHERE acl.grantee = 0
            )
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO platform_owner', function.name);
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', function.name);
    END LOOP;
END;
$$;

-- What drivers ask for when they meet a type they do not know. By column, for a privilege on the whole table
-- includes xmin, which is the cluster's transaction counter. Never reltuples or relpages: they count rows.
DO $$
DECLARE
    catalog record;
BEGIN
    FOR catalog IN
        SELECT attrelid::regclass AS name, string_agg(quote_ident(attname), ', ' ORDER BY attnum) AS columns
        FROM pg_catalog.pg_attribute
        WHERE attnum > 0 AND NOT attisdropped
            AND attrelid = ANY(ARRAY[
                'pg_type', 'pg_range', 'pg_enum', 'pg_namespace', 'pg_attribute'
            ]::regclass[])
        GROUP BY attrelid
    LOOP
        EXECUTE format('GRANT SELECT (%s) ON %s TO PUBLIC', catalog.columns, catalog.name);
    END LOOP;
END;
$$;
GRANT SELECT (oid, relname, relnamespace, relkind, reltype) ON pg_catalog.pg_class TO PUBLIC;
GRANT EXECUTE ON FUNCTION pg_catalog.to_regtype(text) TO PUBLIC;

-- Our own: nothing that the platform owns is for everybody.
ALTER DEFAULT PRIVILEGES FOR ROLE platform_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
