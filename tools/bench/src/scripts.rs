//! What the interpreters run. Each takes the number of rounds as its argument.

/// Objects, JSON, regular expressions, copies and syntax trees.
pub(crate) const PYTHON: &str = "import json, re, copy, ast, sys
for n in range(int(sys.argv[1])):
    data = {str(i): [i, i * 2.5, 'x' * (i % 50), {'k': i}] for i in range(20000)}
    text = json.dumps(data); assert json.loads(text) == data
    copy.deepcopy(data); re.findall(r'x{3,}', text)
    ast.parse('\\n'.join('a%d = [i * %d for i in range(%d)]' % (i, i, i) for i in range(1500)))";

/// Hashes, strings, sorting, joining and splitting.
pub(crate) const PERL: &str = "for my $round (1..$ARGV[0]) { my %h;
for my $i (1..60000) { $h{\"key$i\"} = [$i, 'v' x ($i % 40), {n => $i}]; }
my $s = join ',', sort { $a <=> $b } map { $_->[0] } values %h; my @p = split /,/, $s; }";

/// JSON, regular expressions, maps, and buffers, whose memory is malloc's.
pub(crate) const NODE: &str = r"const rounds = Number(process.argv[1]);
for (let round = 0; round < rounds; round++) {
  const rows = Array.from({ length: 20000 }, (_, i) =>
    ({ id: i, name: 'name ' + i, tags: ['t' + i % 7, 't' + i % 11], value: i * 1.5 }));
  const text = JSON.stringify(rows);
  const parsed = JSON.parse(text);
  const byTag = new Map();
  for (const row of parsed) for (const tag of row.tags)
    byTag.set(tag, (byTag.get(tag) || 0) + row.value);
  text.match(/name \d*7/g).length;
  let total = 0;
  for (let i = 0; i < 4000; i++) {
    const buffer = Buffer.alloc(64 + (i % 100) * 200, i);
    total += Buffer.concat([buffer, Buffer.from('end')]).toString('latin1').length;
  }
}";

/// A table filled, indexed, asked, changed and grouped; `ROWS` stands for the number of rows.
pub(crate) const SQL: &str = "create table t(a integer, b text);
with recursive c(x) as (select 1 union all select x+1 from c where x<ROWS)
insert into t select x, 'row ' || x from c; create index i on t(b);
select count(*), sum(a), max(b) from t; delete from t where a % 3 = 0;
select b, count(*) from t group by substr(b, 1, 6);
update t set b = b || ' again' where a % 2 = 0;
select group_concat(b) from t group by a % 1000;";
