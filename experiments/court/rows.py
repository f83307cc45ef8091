"""The rows: every design with the control that is the same without its adversary, and the controls themselves."""

import dataclasses
from collections.abc import Callable
from functools import partial

from experiments.court import apr, controls, domains, gans, irgan, latents, profiles, vat


@dataclasses.dataclass(frozen=True)
class Row:
  """A row of the table.

  Attributes:
    fit: `fit(case, seed) -> Offer`.
    control: the name of the row that is the same without its adversary; '' where the row is itself a control.
    words: what it does.
  """
  fit: Callable
  control: str
  words: str

  @property
  def module(self):
    """The name of the module that its fit is defined in."""
    return (self.fit.func if isinstance(self.fit, partial) else self.fit).__module__


ROWS = {
  'random pairs': Row(partial(controls.pairs, rule='random_pairs'), '', 'items drawn evenly'),
  'popular pairs': Row(partial(controls.pairs, rule='popular_pairs'), '', 'items drawn by their training interactions'),
  'content-kNN pairs': Row(partial(controls.pairs, rule='content_knn_pairs'), '',
                           "items drawn by the likeness of their texts to the history's"),
  'self-labelled pairs': Row(controls.self_labelled, '', "items drawn by the base model's own scores"),
  'noise on vectors': Row(controls.vector_noise, '', 'what texts predict of an item, plus Gaussian noise with the '
                          'covariance of what they leave open'),
  'noise on texts': Row(partial(controls.text_noise, way='interactions'), '', 'noise on the text vectors, of the size '
                        "that moves predictions as far as z moves the cross-entropy generator's fakes"),
  'L2 anchor': Row(partial(gans.embedding, name='no_adversary'), '', 'the embedding generator without its adversary: '
                   'G is regressed to the real vector by squares alone'),
  'generator alone, softmax': Row(partial(gans.embedding, name='softmax'), '', 'the same generator, without adversary, '
                                  'taught by the softmax over all items'),
  'conditional VAE': Row(partial(latents.fit, adversarial=False), '', 'decoder of z and text, codes held near N(0, I) '
                         'by their divergence'),
  'policy alone': Row(partial(irgan.fit, adversarial=False), '', "IRGAN's policy taught by likelihood"),
  'interaction generator alone': Row(partial(gans.interaction, name='no_adversary'), '', 'the interaction generator '
                                     'without its adversary'),
  'MultVAE purchases': Row(partial(profiles.purchases, kind='multvae'), '', "users' purchase vectors from an "
                           'autoencoder, warm items only'),
  'residual alone': Row(partial(gans.residual, name='no_adversary'), '', 'a correction of what texts predict, by '
                        'squares alone'),
  'noise on texts, vectors': Row(partial(controls.text_noise, way='vectors'), '', 'the mean of noisy texts\' '
                                 'predictions as the vectors of new items'),
  'ranking alone': Row(partial(apr.fit, kind='none'), '', "the base model's factors trained on by pairwise ranking"),
  'ranking, random perturbation': Row(partial(apr.fit, kind='random'), '', 'the same with random changes of the same '
                                      'length'),
  'network alone': Row(partial(vat.fit, kind='none'), '', 'a network that corrects what texts predict'),
  'network, random direction': Row(partial(vat.fit, kind='random'), '', 'the same, smooth in random directions'),
  'network, not aligned': Row(partial(domains.fit, adversarial=False), '', "the aligned network without its judge"),
  'bootstrap of users': Row(partial(profiles.generated, source='bootstrap'), '', 'copies of real users'),
  'profiles, no critic': Row(partial(profiles.generated, source='no critic'), '', 'users drawn from an autoencoder '
                             'trained on by its likelihood'),
  'specification': Row(partial(gans.embedding, name='specification'), 'L2 anchor', 'the embedding generator by '
                       'L = L_D + 0.5 L_G with cross-entropy, and nothing else'),
  'cross-entropy': Row(partial(gans.embedding, name='cross_entropy'), 'L2 anchor', 'the same with the anchor and '
                       'R1 + R2, the default of the package'),
  'saturating': Row(partial(gans.embedding, name='saturating'), 'L2 anchor', 'minimax loss'),
  'Wasserstein, gradient penalty': Row(partial(gans.embedding, name='wasserstein'), 'L2 anchor', 'WGAN-GP'),
  'hinge': Row(partial(gans.embedding, name='hinge'), 'L2 anchor', 'hinge loss, R1 + R2'),
  'relativistic': Row(partial(gans.embedding, name='relativistic'), 'L2 anchor', 'RpGAN, R1 + R2'),
  'interaction generator': Row(partial(gans.interaction, name='cross_entropy'), 'interaction generator alone',
                               'G makes item vectors for a user, D judges them in the light of the text; '
                               'cross-entropy, anchor, R1 + R2'),
  'adversarial autoencoder': Row(partial(latents.fit, adversarial=True), 'conditional VAE', 'decoder of z and text, '
                                 'codes made N(0, I) by a judge'),
  'IRGAN': Row(partial(irgan.fit, adversarial=True), 'policy alone', 'a policy rewarded by a judge of pairs'),
  'CFGAN': Row(partial(profiles.purchases, kind='cfgan'), 'MultVAE purchases', "users' purchase vectors against a "
               'discriminator, warm items only'),
  'residual, relativistic': Row(partial(gans.residual, name='relativistic'), 'residual alone', 'G corrects what texts '
                                'predict; RpGAN, R1 + R2'),
  'adversarial ranking (APR)': Row(partial(apr.fit, kind='adversarial'), 'ranking alone', "the base model's factors "
                                   'trained on against the worst small change'),
  'virtual adversarial': Row(partial(vat.fit, kind='adversarial'), 'network alone', 'a network that corrects what '
                             'texts predict, smooth in the worst direction'),
  'domain-adversarial': Row(partial(domains.fit, adversarial=True), 'network, not aligned', 'a network that corrects '
                            'what texts predict from features that do not tell warm from cold items'),
  'profile GAN': Row(partial(profiles.generated, source='critic'), 'profiles, no critic', 'users drawn from an '
                     'autoencoder trained on against a critic of whole profiles'),
}
