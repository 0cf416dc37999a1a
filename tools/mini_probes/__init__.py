"""What an encoder's layers know, measured by linear probes: phones, speakers and emotions."""
