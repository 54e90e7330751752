printf 'aaa\nb\n' > f
sed ':l;s/^a/x/;t l' f
sed ':a;s/a/x/;ta;s/x/y/' f
sed '/b/b end;s/a/1/;:end' f
sed -n '/a/{s/a/z/;p}' f
sed '/a/{
s/a/q/
}' f
