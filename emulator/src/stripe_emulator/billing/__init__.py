"""What Stripe does by itself as time passes: periods, prorations, invoices, collection, dunning, trials."""
