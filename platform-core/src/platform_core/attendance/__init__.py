"""Who was in class: sessions, check-ins, results by version, and what families are told."""
