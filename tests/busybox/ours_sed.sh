# component only
printf 'one\ntwo\nthree\n' > f
sed '1~2d' f; sed -n l f; sed -s 1d f f | wc -l
echo 'hello world' | sed 's/\(h\)\(.*\)/\U\1\E\2/;s/\bw/\u&/'
