printf 'hello world, this is\n' | od
printf 'hello\n' | od -c
printf 'hello\n' | od -An -tx1
printf 'ab' | od -x
printf 'hello world, this is a text\n' | hexdump -C
printf 'abc' | hexdump
printf 'hello' | xxd
printf 'hello' | xxd -p
