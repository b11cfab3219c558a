"""What tests share: databases, factories, stand-ins. No assertions here."""
