echo hello world | base64
echo aGVsbG8gd29ybGQK | base64 -d
head -c 100 /dev/zero | base64
head -c 100 /dev/zero | base64 -w 0; echo
