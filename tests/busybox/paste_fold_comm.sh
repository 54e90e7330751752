seq 3 > a; seq 4 6 > b
paste a b; paste -d, a b; paste -s a
echo abcdefghij | fold -w 4
echo 'the quick brown fox' | fold -s -w 10
