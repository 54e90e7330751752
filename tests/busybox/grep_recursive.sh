mkdir -p d/e; echo needle > d/a; echo hay > d/b; echo needle > d/e/c
grep -r needle d | sort
grep -rl needle d | sort
grep needle d; echo $?
