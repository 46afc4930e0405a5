"""What a study's database holds: schema, migrations, the hidden identities, the audit trail."""
