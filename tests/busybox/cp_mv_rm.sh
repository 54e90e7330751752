mkdir a; echo x > a/f; cp a/f g; cat g; cp -r a b; cat b/f; cp g a b 2>&1; echo $?
cp g b/; cat b/g; mv g h; cat h; [ -e g ] || echo moved; mv h b; ls b
rm b/h; ls b; rm -r b; [ -e b ] || echo removed; rm nothing; echo $?; rm -f nothing; echo $?
rm a; echo $?; mkdir c; rmdir c; rmdir a; echo $?
cp nothing x; echo $?; mv nothing x; echo $?
echo 1 > o; echo 2 > p; cp o p; cat p; cp -n p a/f; cat a/f
ln -s o l; cp -P l l2; readlink l2; cp l l3; [ -L l3 ] || echo file
cp o o; echo $?
