-- Whose database this is. One row, written by provisioning, read by the customer's own code.

CREATE SCHEMA IF NOT EXISTS tenancy;
COMMENT ON SCHEMA tenancy IS 'Whose database this is, what that customer decided, and who acts for it.';

CREATE TABLE tenancy.identity (
    singleton boolean NOT NULL DEFAULT true,
    tenant_id uuid NOT NULL,
    slug text NOT NULL,
    display_name text NOT NULL,
    timezone text NOT NULL,
    currency text NOT NULL,
    provisioned_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT identity_pkey PRIMARY KEY (singleton),
    CONSTRAINT identity_is_one_row CHECK (singleton),
    CONSTRAINT identity_slug_is_a_folder_name CHECK (slug ~ '^[a-z][a-z0-9_]{1,39}$'),
    CONSTRAINT identity_display_name_is_bounded CHECK (length(display_name) BETWEEN 1 AND 200),
    CONSTRAINT identity_timezone_is_bounded CHECK (length(timezone) BETWEEN 1 AND 60),
    CONSTRAINT identity_currency_is_a_code CHECK (currency ~ '^[A-Z]{3}$')
);
COMMENT ON TABLE tenancy.identity IS 'The customer of this database. The template has no row; a customer has one that never changes.';
COMMENT ON COLUMN tenancy.identity.timezone IS 'IANA name: the days and hours the customer means.';

GRANT USAGE ON SCHEMA tenancy TO api_tenant;
GRANT SELECT (singleton, tenant_id, slug, display_name, timezone, currency, provisioned_at)
    ON tenancy.identity TO api_tenant;
