echo 'a/b' | sed 's/\//-/'
echo 'a.b' | sed 's/./x/2'
echo abc | sed 's/b*/X/g'
echo hello | sed 's/l*/X/g'
echo abc | sed 's/x*/-/g'
echo 'foo bar' | sed 's/\bbar/X/'
echo 'a|b' | sed 's/|/x/'; echo 'a|b' | sed -E 's/\|/x/'
echo 'tab' | sed 's/a/\t/' | cat -A
echo 'one two' | sed 's/ /\n/'
echo '[x]' | sed 's/[]]/)/;s/[[]/(/'
echo aXb | sed 's/X/\&/'
printf 'no newline' | sed 's/no/x/'; echo
