echo -n no newline; echo
echo -e 'a\tb\nc'
echo -e 'x\c'; echo
echo 'a\tb'
echo -- -n
echo
