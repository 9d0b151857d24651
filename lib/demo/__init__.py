"""Demo data made from physics: seven machines in both domains, in the layout of the real recordings."""
