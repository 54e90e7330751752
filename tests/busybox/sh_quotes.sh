echo 'single $x `y`' "double \$x \`y\` \\ \"" un\ quoted
echo "a
b"
echo ''"" | wc -c
echo a'b'"c"d
x='a  b'; echo $x "$x"
echo "it's" 'say "hi"'
echo \a\b
echo "\a\b"
