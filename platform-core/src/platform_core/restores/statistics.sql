-- Tell the planner what is in the tables: a dump brings no statistics before PostgreSQL 18.
ANALYZE;
