"""The neural peers, as (name, fit, space, cold): `cold` says whether a peer has real scores for new items."""

from experiments.peers import adversarial, autoencoders, cold, graph, sequential

PEERS = (
  ('MultVAE', autoencoders.multvae, autoencoders.MULTVAE_SPACE, False),
  ('CFGAN', autoencoders.cfgan, autoencoders.CFGAN_SPACE, False),
  ('LightGCN', graph.lightgcn, graph.LIGHTGCN_SPACE, False),
  ('SASRec', sequential.sasrec, sequential.SASREC_SPACE, False),
  ('two-tower', cold.two_tower, cold.TWO_TOWER_SPACE, True),
  ('DropoutNet', cold.dropoutnet, cold.DROPOUTNET_SPACE, True),
  ('CLCRec', cold.clcrec, cold.CLCREC_SPACE, True),
  ('GAR', adversarial.gar, adversarial.GAR_SPACE, True),
)
