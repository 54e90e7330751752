# From POSIX's text on parameter expansion.
x=file.c; echo ${x%.c}.o
x=posix/src/std; echo ${x%%/*}
x=$HOME/src/cmd; echo ${x#$HOME}
x=/one/two/three; echo ${x##*/}
unset X; echo ${X:-word} ${X-word} "${X+word}"
posix=1; echo ${posix:+3} ${#posix}
HOME=/usr/posix; echo ${#HOME}
set -- a b c; echo ${3:+posix}
a=1; set 2; echo ${a}b-$ac-${10}-$10
echo "${x#"${x%????}"}"
foo='a b c'; set -- $foo; echo $#; set -- "$foo"; echo $#
