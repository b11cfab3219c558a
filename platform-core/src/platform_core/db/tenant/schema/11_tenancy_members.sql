-- What the customer decided (policy, by version) and who acts for it (member).

CREATE SCHEMA IF NOT EXISTS tenancy;

CREATE TABLE tenancy.policy (
    version integer NOT NULL,
    content jsonb NOT NULL,
    sha256 bytea NOT NULL,
    stored_at timestamptz NOT NULL DEFAULT now(),
    stored_by text NOT NULL,
    CONSTRAINT policy_pkey PRIMARY KEY (version),
    CONSTRAINT policy_version_starts_at_one CHECK (version > 0),
    CONSTRAINT policy_content_is_an_object CHECK (jsonb_typeof(content) = 'object'),
    CONSTRAINT policy_sha256_is_sha256 CHECK (octet_length(sha256) = 32),
    CONSTRAINT policy_stored_by_is_bounded CHECK (length(stored_by) BETWEEN 1 AND 200)
);
COMMENT ON TABLE tenancy.policy IS 'Every policy the customer ever ran under; the highest version runs. Rows never change.';
COMMENT ON CONSTRAINT policy_pkey ON tenancy.policy IS
    'Two people storing at once reach for the same version: the second is told, nothing is lost unseen.';

CREATE TABLE tenancy.member (
    handle text NOT NULL,
    role text NOT NULL,
    policy_version integer NOT NULL,
    added_at timestamptz NOT NULL DEFAULT now(),
    removed_at timestamptz,
    CONSTRAINT member_pkey PRIMARY KEY (handle),
    CONSTRAINT member_policy_fkey FOREIGN KEY (policy_version) REFERENCES tenancy.policy (version),
    CONSTRAINT member_handle_is_a_name CHECK (handle ~ '^[a-z][a-z0-9_.-]{0,39}$'),
    CONSTRAINT member_role_known CHECK (role IN ('owner', 'ops', 'viewer')),
    CONSTRAINT member_removed_after_added CHECK (removed_at >= added_at)
);
COMMENT ON TABLE tenancy.member IS 'Who acts for the customer, as the policy in force says. A removed member keeps the row.';
COMMENT ON COLUMN tenancy.member.policy_version IS 'The policy that last set this row.';

-- Deferred: a change of owner is two statements, and only the state at commit matters.
CREATE FUNCTION tenancy.require_owner() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM tenancy.member WHERE role = 'owner' AND removed_at IS NULL) THEN
        RAISE EXCEPTION 'The last owner cannot be removed' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END;
$$;
REVOKE EXECUTE ON FUNCTION tenancy.require_owner() FROM PUBLIC;

CREATE CONSTRAINT TRIGGER member_has_an_owner
AFTER INSERT OR UPDATE OR DELETE ON tenancy.member
DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION tenancy.require_owner();

GRANT USAGE ON SCHEMA tenancy TO api_tenant;
GRANT SELECT (version, content, sha256, stored_at, stored_by) ON tenancy.policy TO api_tenant;
GRANT INSERT (version, content, sha256, stored_by) ON tenancy.policy TO api_tenant;
GRANT SELECT (handle, role, policy_version, added_at, removed_at) ON tenancy.member TO api_tenant;
GRANT INSERT (handle, role, policy_version) ON tenancy.member TO api_tenant;
GRANT UPDATE (role, policy_version, removed_at) ON tenancy.member TO api_tenant;
