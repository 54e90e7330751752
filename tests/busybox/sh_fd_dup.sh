{ echo a; echo b >&2; } 2>&1 | sort
f() { echo to3 >&3; }; f 3>&1
(echo x >&2) 2>/dev/null; echo y
ls /none >/dev/null 2>&1; echo $?
