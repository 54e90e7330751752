head -c 4 /dev/zero | od -An -tx1; echo x > /dev/null; cat /dev/null; head -c 8 /dev/urandom | wc -c
