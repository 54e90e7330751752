echo hello | tr a-z A-Z
echo hello | tr -d l
echo aabbcc | tr -s a-b
echo 'a1b2' | tr -cd 0-9; echo
echo hello | tr '[:lower:]' '[:upper:]'
echo 'a b  c' | tr -s ' ' '\n'
echo abc | tr abc x
echo 'a-b' | tr -- - _
echo hello | tr 'el' 'ip'
