printf 'one\ntwo\nthree\n' > f
sed 's/o/0/' f; sed 's/e/E/g' f; sed -n 2p f; sed 2d f; sed '$d' f; sed '2,3d' f
sed -n '/two/p' f; sed '/two/d' f; sed '/one/,/two/d' f; sed -n '$=' f
sed 's/\(.\)\(.\)/\2\1/' f; sed -E 's/(.)(.)/\2\1/' f
sed 's/t/&&/' f; sed 's,o,/,' f; sed -n 's/two/2/p' f
sed -e 's/one/1/' -e 's/two/2/' f; sed 's/one/1/;s/two/2/' f
sed 's/e/X/2' f; sed 's/O/x/i' f; sed y/abc/ABC/ f; sed = f
sed 2q f; sed '2!d' f; sed '2,+1d' f
