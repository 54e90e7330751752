printf '%s-%s\n' a b c
printf '%5d|%-5d|%05d\n' 42 42 42
printf '%x %X %o %c\n' 255 255 8 hello
printf '%.2f %e %g\n' 3.14159 1234.5 0.0001
printf '%s\n' 'a\nb'; printf '%b\n' 'a\nb'
printf '%%|%5s|%-5s|%.2s\n' ab ab abc
printf 'no args\n'
printf '%d\n' 0x10 010 "'A"
printf '%d\n' abc; echo $?
