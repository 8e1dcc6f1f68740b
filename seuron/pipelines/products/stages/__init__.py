"""The work of each stage of the products: one module per product."""
