touch a.txt b.txt c.log .hidden; mkdir d; touch d/e.txt
echo *
echo *.txt
echo ?.log [ab].txt [!a].txt
echo d/*
echo .h*
echo "*.txt" '*' \*
echo */*.txt
set -f; echo *.txt
