printf 'a\n\nb\n\n\nc' > f
cat f; echo
cat -n f; echo
cat -b f; echo
printf 'a\tb\001\n' | cat -A
cat f f | wc -l
cat none; echo $?
echo x | cat - f | head -n 1
