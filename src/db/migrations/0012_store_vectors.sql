-- What items of the store are found by when they are searched by meaning. They go with their item.
create table holdfast.store_vectors (
  tenant text not null,
  namespace text[] collate "C" not null,
  key text collate "C" not null,
  -- Which of the item's texts.
  path text not null,
  -- Vectors of another model are not compared.
  model text not null,
  -- Numbers of four bytes, the lowest first; the vector's length is 1.
  vector bytea not null,
  primary key (tenant, namespace, key, path),
  foreign key (tenant, namespace, key) references holdfast.store_items on delete cascade
);
-- Nothing is gained by trying to compress them.
alter table holdfast.store_vectors alter column vector set storage external;
