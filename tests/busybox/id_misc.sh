true; echo $?; false; echo $?; yes | head -n 2; yes a b | head -n 1
tty; echo $?; [ -n "$(hostname)" ] && echo named
