"""Who may enter a customer's staff panel: signed links, the browsers that entered, and what each role may do.

`rights` is the table of roles, `tokens` the signatures, `links` and `sessions` the verbs. The pages are in
`dashboards`, the HTTP edge in `windmill/panel.py`.
"""
