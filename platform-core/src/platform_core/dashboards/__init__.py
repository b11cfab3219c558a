"""What the customer's own people see: read models kept by jobs, and the pages made from them."""
