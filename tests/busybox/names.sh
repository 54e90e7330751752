basename /a/b/c; basename /a/b.txt .txt; basename a/; basename /; dirname /a/b/c; dirname a; dirname /a; dirname a/b/; dirname /
mkdir d; ln -s d l; readlink l; readlink d; echo $?; realpath l | sed 's,.*/,,'; readlink -f l/x | sed 's,.*/d,d,'
basename -a a/b c/d; basename -s .c x.c
which sh >/dev/null && echo found; which nothing_here; echo $?
