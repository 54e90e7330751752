printf 'abc\ndef\n' | rev
printf '1\n2\n3\n' | tac
printf 'a\n\nb\n' | nl
printf 'a\n\nb\n' | nl -b a -w 2 -s ') '
