"""What tenant B sees while another tenant, a receiver or an anonymous caller does the worst that the limits allow."""
