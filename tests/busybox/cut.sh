echo a:b:c:d | cut -d: -f2
echo a:b:c:d | cut -d: -f1,3
echo a:b:c:d | cut -d: -f2-
echo a:b:c:d | cut -d: -f-2
echo hello | cut -c2-4
echo hello | cut -b1,5
echo nodelim | cut -d: -f2
echo nodelim | cut -s -d: -f2
printf 'a\tb\n' | cut -f2
