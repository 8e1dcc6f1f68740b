"""What instances and runs cost: prices, the ledger, estimates, budgets."""
