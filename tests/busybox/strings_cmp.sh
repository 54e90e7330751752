printf 'ab\001text here\002\003more\n' | strings
printf 'abc\n' > a; printf 'abd\n' > b
cmp a a; echo $?; cmp a b; echo $?; cmp -s a b; echo $?; cmp -l a b
printf 'ab' > c; cmp a c; echo $?
