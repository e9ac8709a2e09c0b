-- It catches errors, which is a subtransaction: before Postgres 17 a parallel plan must not begin one.
alter function holdfast.searchable(text) parallel unsafe;

-- Stateless threads to be removed are found without a look at every run that there ever was.
create index runs_temporary on holdfast.runs (finished_at) where temporary;
