printf 'a\na\nb\na\n' | uniq
printf 'a\na\nb\n' | uniq -c
printf 'a\na\nb\n' | uniq -d
printf 'a\na\nb\n' | uniq -u
printf 'A\na\n' | uniq -i
printf '1 x\n2 x\n3 y\n' | uniq -f 1
